-- The ids of all that wait in a queue, in the order of their turns.
local places = call('ZRANGE', key('queue', ARGV[3]), 0, -1)
for i, place in ipairs(places) do places[i] = id_of(place) end
return places
