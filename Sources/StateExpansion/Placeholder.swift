// The StateExpansion room.
