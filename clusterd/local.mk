# clusterd/
