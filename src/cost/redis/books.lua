-- The ledger state. This file precedes each of the three operations in its script. A script runs atomically.
--
-- KEYS[1] is a hash of the amounts by month and budget (`spent:2026-11:team-a`, `reserved:2026-11:team-a`) and of the open
-- reservations (`lease:<id>`: the month, the amount and the budgets). KEYS[2] is a sorted set of the ids of the open
-- reservations by expiry, in seconds since 1970. Amounts are whole pico-dollars as text. Lua's numbers are floats, so HINCRBY,
-- which adds 64-bit integers, does all arithmetic on them.
local books, ends = KEYS[1], KEYS[2]
local now = tonumber(redis.call('TIME')[1])

-- Returns the calendar month (UTC), by Howard Hinnant's `civil_from_days`.
local function month_of(seconds)
  local days = math.floor(seconds / 86400) + 719468
  local era, day = math.floor(days / 146097), days % 146097
  local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
  day = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local from_march = math.floor((5 * day + 2) / 153)
  local months = (era * 400 + year) * 12 + from_march + 2
  return string.format('%04d-%02d', math.floor(months / 12), months % 12 + 1)
end

local month = month_of(now)

local function sum(kind, of, budget)
  return redis.call('HGET', books, kind .. ':' .. of .. ':' .. budget) or '0'
end

local function add(field, amount)
  return redis.call('HINCRBY', books, field, amount)
end

local function subtract(field, amount)
  if amount == '0' then return add(field, '0') end
  return add(field, '-' .. amount)
end

-- Settles a reservation at an amount, or at the whole reserved amount if there is none. Returns what is then spent this month
-- of each of its budgets.
local function settle(id, amount)
  local lease = redis.call('HGET', books, 'lease:' .. id)
  if not lease then return {} end
  local of, held, names = string.match(lease, '^(%S+) (%d+) (.*)$')
  redis.call('HDEL', books, 'lease:' .. id)
  redis.call('ZREM', ends, id)
  local spent = {}
  for name in string.gmatch(names, '%S+') do
    subtract('reserved:' .. of .. ':' .. name, held)
    add('spent:' .. of .. ':' .. name, amount or held)
    if of == month then spent[#spent + 1] = sum('spent', of, name) end
  end
  return spent
end

-- Expired reservations count as spent in full.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 1000)) do settle(id) end

-- Of the months before the current one, the latest twelve are kept. They are needed again if the clock was wrong and is set back.
if redis.call('HGET', books, 'month') ~= month then
  redis.call('HSET', books, 'month', month)
  local fields, past = {}, {}
  for _, field in ipairs(redis.call('HKEYS', books)) do
    local of = string.match(field, '^%a+:(%d+-%d+):')
    if of and of < month then
      if not fields[of] then
        fields[of] = {}
        past[#past + 1] = of
      end
      table.insert(fields[of], field)
    end
  end
  table.sort(past)
  for i = 1, #past - 12 do
    for _, field in ipairs(fields[past[i]]) do redis.call('HDEL', books, field) end
  end
end
