-- The value of a name that all hosts share: the one that the first of them brought.
local name, own = ARGV[3], ARGV[4]
call('SET', key('shared', name), own, 'NX')
return call('GET', key('shared', name))
