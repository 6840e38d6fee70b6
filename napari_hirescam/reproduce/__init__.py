"""The paper's experiments, as far as data on hand allow, each with a report page."""
