"""Bulk enrolment: many registrations in one file, one job, one result a row."""
