// The TrainingMetrics room.
