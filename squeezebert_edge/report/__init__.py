"""What was found of a checkpoint's bundles: kept as JSON, shown as a page, a table or a spreadsheet."""
