"""The books: functions of a transaction. All SQL of the product stands here."""
