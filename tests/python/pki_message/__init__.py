"""SCEP messages made and read without any of Assay's own code: by asn1crypto, cryptography and the plain rules of X.690."""
