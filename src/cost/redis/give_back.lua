-- Gives amounts back. KEYS: as for `take.lua`. ARGV: when they were taken, then the amount and the period of each quota.
for i, key in ipairs(KEYS) do
  local slot = slot_at(tonumber(ARGV[1]), tonumber(ARGV[2 * i + 1]))
  local value = redis.call('HGET', key, slot)
  if value then
    local taken, last = read(value)
    local left = taken - tonumber(ARGV[2 * i])
    if left > 0 then
      redis.call('HSET', key, slot, text(left) .. ' ' .. text(last))
    else
      redis.call('HDEL', key, slot)
    end
  end
end
return {}
