"""What the command line does, for Python: a file per verb."""

CALIBRATION_SAMPLES = 200  # texts that set the scales of a calibrated precision, where nobody says how many
