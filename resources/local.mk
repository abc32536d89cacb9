# resources/
