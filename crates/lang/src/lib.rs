//! Meaning of a script: names, types, inference, builtins, lowering to the intermediate representation.
