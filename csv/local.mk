# csv/
