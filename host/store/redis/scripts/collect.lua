#!lua flags=allow-oom
-- Takes so many messages out of a mailbox; what was taken under `token` is handed out again to one
-- who never heard the answer.
local instance, limit, token = unpack(ARGV, 3, 5)
local taken = key('taken', instance)
if is_retry and call('LINDEX', taken, 0) == token then return call('LRANGE', taken, 1, -1) end
local mail = call('LPOP', key('mail', instance), limit)
if not mail then return {} end
call('DEL', taken)
call('RPUSH', taken, token, unpack(mail))
call('EXPIRE', taken, 60)
return mail
