"""The confined process in which a submitted file is read and its model tried."""
