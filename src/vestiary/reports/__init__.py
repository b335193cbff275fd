"""What people read about catalogues and bundles: one file per report."""
