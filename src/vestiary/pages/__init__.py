"""What a person with a browser sees: one file per page, on Streamlit, mounted by the service into its own process."""
