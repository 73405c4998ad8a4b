-- {id, seconds over its limit} of commands that waited or ran longer than they may, the longest
-- overdue first.
local time = steady()
local found = call('ZRANGEBYSCORE', prefix .. 'due', '-inf', time, 'WITHSCORES', 'LIMIT', 0, 1000)
for i = 2, #found, 2 do found[i] = stamp(time - tonumber(found[i])) end
return found
