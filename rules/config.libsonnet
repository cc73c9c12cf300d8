{ _config+:: {} }
