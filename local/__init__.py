"""The embedded cloud: ministack in process, plus what it lacks. Never deployed; nothing in `src` imports it."""
