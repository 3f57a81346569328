"""The vocabulary: values, interfaces and errors.  Pure: no logging, no time, no files, no threads."""
