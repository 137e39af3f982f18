"""docs/openapi.json as C, so that the API serves exactly the contract it was built from."""
import sys

data = open(sys.argv[1], "rb").read()
lines = (", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24))
with open(sys.argv[2], "w") as out:
    out.write('#include "api/openapi.h"\nconst char openapi_text[] = {\n' + ",\n".join(lines) +
              f"\n}};\nconst size_t openapi_len = {len(data)};\n")
