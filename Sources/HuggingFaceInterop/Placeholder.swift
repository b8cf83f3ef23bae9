// The HuggingFaceInterop room.
