# iscsi/
