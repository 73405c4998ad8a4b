-- Forgets an ended command; 1 when it was there.
local id = ARGV[3]
local found = call('HMGET', key('c', id), 'state', 'key')
if not found[1] then return is_retry and 1 or 0 end
if found[1] == 'queued' or found[1] == 'running' then return 0 end
for _, kind in ipairs({'c', 'payload', 'text', 'fields', 'files', 'log'}) do call('DEL', key(kind, id)) end
if found[2] ~= '' and call('GET', key('key', found[2])) == id then
    call('DEL', key('key', found[2]))
end
call('PUBLISH', key('c', id), '')
return 1
