REGISTER sip:ims.example SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:@SRCPORT@;branch=z9hG4bK-@B@@@@@@-1;rport
Max-Forwards: 70
From: <sip:ue@U@@@@@@@ims.example>;tag=f@B@@@@@@
To: <sip:ue@U@@@@@@@ims.example>
Call-ID: c@B@@@@@@-7f3a9b2c@127.0.0.1
CSeq: 1 REGISTER
Contact: <sip:u@U@@@@@@@127.0.0.1:@SRCPORT@>;expires=3600
Supported: path, gruu
User-Agent: peers-gen/1.0
Allow: INVITE, ACK, CANCEL, BYE, MESSAGE, OPTIONS, NOTIFY, PRACK, UPDATE
Path: <sip:127.0.0.1:@SRCPORT@;lr>
Content-Length: 0

