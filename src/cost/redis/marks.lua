-- Returns for each key how long it is still marked, in milliseconds.
local left = {}
for i, key in ipairs(KEYS) do left[i] = math.max(0, redis.call('PTTL', key)) end
return left
