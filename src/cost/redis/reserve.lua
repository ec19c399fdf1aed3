-- Reserves an amount in every budget, or in none of them. ARGV: the id, the amount, then the name and limit of each budget.
-- Returns nothing, or the first budget that the amount does not fit into, with the amounts spent and reserved.
local id, amount = ARGV[1], ARGV[2]
if redis.call('HEXISTS', books, 'lease:' .. id) == 1 then return {} end
local names = {}
for i = 3, #ARGV, 2 do
  local name, limit = ARGV[i], ARGV[i + 1]
  local spent, reserved = sum('spent', month, name), sum('reserved', month, name)
  redis.call('HSET', books, 'left', limit)
  subtract('left', spent)
  subtract('left', reserved)
  -- Conversion to a float can round the value but keeps its sign.
  local left = subtract('left', amount)
  redis.call('HDEL', books, 'left')
  if left < 0 then return {name, spent, reserved} end
  names[#names + 1] = name
end
for _, name in ipairs(names) do add('reserved:' .. month .. ':' .. name, amount) end
redis.call('HSET', books, 'lease:' .. id, month .. ' ' .. amount .. ' ' .. table.concat(names, ' '))
redis.call('ZADD', ends, now + 3600, id)
return {}
