// The TokenData room.
