// The DataParallel room.
