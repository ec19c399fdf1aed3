-- Marks a key. ARGV: the time in milliseconds.
if ARGV[1] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
end
return {}
