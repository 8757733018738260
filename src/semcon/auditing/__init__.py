"""One audit, end to end: settings, measurement, findings, gallery, run folder."""
