"""The core: the ledger, the jobs and sessions, the wallet and the model, behind one front desk."""
