-- {waiting, running, completed, cancelled, failed, mean_run_s, ends remembered, seconds since}
local queue = ARGV[3]
local found = call('HMGET', key('stats', queue), 'completed', 'cancelled', 'failed', 'mean_run_s')
local oldest = call('LINDEX', key('ends', queue), 0)
return {
    call('ZCARD', key('queue', queue)), call('SCARD', key('running', queue)),
    found[1], found[2], found[3], found[4],
    call('LLEN', key('ends', queue)), oldest and stamp(now() - tonumber(oldest)),
}
