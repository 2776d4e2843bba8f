INVITE sip:ue@U@@@@@@@ims.example SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:@SRCPORT@;branch=z9hG4bK-@B@@@@@@-1
Max-Forwards: 70
From: <sip:ue@U@@@@@@@ims.example>;tag=f@B@@@@@@
To: <sip:ue@U@@@@@@@ims.example>
Call-ID: i@B@@@@@@-7f3a9b2c@127.0.0.1
CSeq: 1 INVITE
Contact: <sip:u@U@@@@@@@127.0.0.1:@SRCPORT@>
User-Agent: peers-gen/1.0
Allow: INVITE, ACK, CANCEL, BYE, MESSAGE, OPTIONS, NOTIFY, PRACK, UPDATE
Supported: 100rel, timer
Content-Type: application/sdp
Content-Length: 131

v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 40000 RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=sendrecv.....
