-- 0 = running, ended or unknown; n = the n-th of those that wait.
local found = call('HMGET', key('c', ARGV[3]), 'state', 'queue', 'number')
if found[1] ~= 'queued' then return 0 end
return call('ZRANK', key('queue', found[2]), member(found[3], ARGV[3])) + 1
