SUBSCRIBE sip:ue@U@@@@@@@ims.example SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:@SRCPORT@;branch=z9hG4bK-@B@@@@@@-1
Max-Forwards: 70
From: <sip:ue@U@@@@@@@ims.example>;tag=f@B@@@@@@
To: <sip:ue@U@@@@@@@ims.example>
Call-ID: s@B@@@@@@-7f3a9b2c@127.0.0.1
CSeq: 1 SUBSCRIBE
Contact: <sip:u@U@@@@@@@127.0.0.1:@SRCPORT@>
P-Asserted-Identity: <sip:ue@U@@@@@@@ims.example>
Event: reg
Accept: application/reginfo+xml
Expires: 3600
User-Agent: peers-gen/1.0
Allow: INVITE, ACK, CANCEL, BYE, MESSAGE, OPTIONS, NOTIFY, PRACK, UPDATE
Content-Length: 0

