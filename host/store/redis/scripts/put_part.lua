-- A part of a big value, at its place in it. It leaves again if its command is never made.
local kind, id, start, part = unpack(ARGV, 3, 6)
call('SETRANGE', key(kind, id), start, part)
call('EXPIRE', key(kind, id), 600)
return 0
