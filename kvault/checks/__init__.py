"""Is a version still good: suites of probes, their evaluation, and reports. Tensors stay behind one small protocol."""
