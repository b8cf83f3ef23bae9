// Tests of the room TrainingMetrics.
