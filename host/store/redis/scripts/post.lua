#!lua flags=allow-oom
-- Mail for an instance; a question also leaves word that somebody waits for its answer.
local instance, control, reqid, mail_s, answer_s = unpack(ARGV, 3, 7)
local mail = key('mail', instance)
call('RPUSH', mail, control)
call('LTRIM', mail, -1000, -1)
call('EXPIRE', mail, mail_s)
if reqid ~= '' then call('SET', key('asked', reqid), instance, 'PX', answer_s) end
call('PUBLISH', mail, '')
return 0
