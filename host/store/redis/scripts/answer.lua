#!lua flags=allow-oom
-- An answer for whoever asked; 0 when nobody waits, or it was answered before.
local reqid, body = ARGV[3], ARGV[4]
if is_retry and call('EXISTS', key('answer', reqid)) == 1 then return 1 end
if call('DEL', key('asked', reqid)) == 0 then return 0 end
call('SET', key('answer', reqid), body, 'EX', 60)
call('PUBLISH', key('answer', reqid), '')
return 1
