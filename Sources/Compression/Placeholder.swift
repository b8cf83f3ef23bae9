// The Compression room.
