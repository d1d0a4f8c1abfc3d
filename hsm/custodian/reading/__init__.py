"""One reader for each kind of message a device key signs; the door is `hsm.custodian.purposes`."""
