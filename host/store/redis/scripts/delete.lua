#!lua flags=allow-oom
-- Forgets an ended command; 1 when it was there.
local id = ARGV[3]
local state = call('HGET', key('c', id), 'state')
if not state then return is_retry and 1 or 0 end
if state == 'queued' or state == 'running' then return 0 end
forget(id)
return 1
