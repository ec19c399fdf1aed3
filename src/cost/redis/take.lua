-- Takes an amount from each quota, or nothing from any of them. KEYS: a hash for each quota, which maps a slot (a 60th of the period)
-- to the amount taken in it and the time of the last take. ARGV: the amount, the limit and the period of each quota. Times are in
-- milliseconds. An amount above its limit is not sent here.
-- Returns the time, the number of the exceeded quota (0 if the amounts were taken) and the time until they fit, then for each
-- quota the amount in use and the time until none is.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local exceeded, longest = 0, 0
local used, reset = {}, {}
for i, key in ipairs(KEYS) do
  local amount, limit, period = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local slots = {}
  used[i], reset[i] = 0, 0
  local fields = redis.call('HGETALL', key)
  for j = 1, #fields, 2 do
    local taken, last = read(fields[j + 1])
    if last + period <= now then
      redis.call('HDEL', key, fields[j])
    else
      used[i], reset[i] = used[i] + taken, math.max(reset[i], last + period - now)
      slots[#slots + 1] = {last, taken}
    end
  end
  local over = used[i] + amount - limit
  if amount > 0 and over > 0 then
    table.sort(slots, function(a, b) return a[1] < b[1] end)
    local wait = period
    for _, slot in ipairs(slots) do
      over, wait = over - slot[2], slot[1] + period - now
      if over <= 0 then break end
    end
    if wait > longest then exceeded, longest = i, wait end
  end
end
local answer = {text(now), text(exceeded), text(longest)}
for i, key in ipairs(KEYS) do
  local amount, period = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i])
  if exceeded == 0 and amount > 0 then
    local slot = slot_at(now, period)
    local taken = read(redis.call('HGET', key, slot) or '0 0')
    redis.call('HSET', key, slot, text(taken + amount) .. ' ' .. text(now))
    redis.call('PEXPIRE', key, text(period))
    used[i], reset[i] = used[i] + amount, period
  end
  answer[#answer + 1] = text(used[i])
  answer[#answer + 1] = text(reset[i])
end
return answer
