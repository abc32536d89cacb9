# migration/
