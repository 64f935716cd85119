"""The article's experiment: its cases, their calibration, the findings, and two runs compared."""
