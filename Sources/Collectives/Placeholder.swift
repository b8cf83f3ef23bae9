// The Collectives room.
