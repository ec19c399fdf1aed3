-- Functions for the windows of quotas. This file precedes `take.lua` and `give_back.lua`.

-- Lua would write a large number with an exponent.
local function text(number)
  return string.format('%.0f', number)
end

local function slot_at(at, period)
  return text(math.floor(at / math.ceil(period / 60)))
end

-- Returns the amount taken in a slot, and the time of the last take.
local function read(value)
  local taken, last = string.match(value, '^(%d+) (%d+)$')
  return tonumber(taken), tonumber(last)
end
