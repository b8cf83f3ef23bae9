// Tests of the room HuggingFaceInterop.
