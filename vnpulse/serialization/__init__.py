"""JSON or Avro, by topic: schemas from the message structs, the wire format, and the codecs."""
