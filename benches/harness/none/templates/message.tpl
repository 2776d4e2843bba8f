MESSAGE sip:ue@U@@@@@@@ims.example SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:@SRCPORT@;branch=z9hG4bK-@B@@@@@@-1
Max-Forwards: 70
From: <sip:ue@U@@@@@@@ims.example>;tag=f@B@@@@@@
To: <sip:ue@U@@@@@@@ims.example>
Call-ID: m@B@@@@@@-7f3a9b2c@127.0.0.1
CSeq: 1 MESSAGE
Contact: <sip:u@U@@@@@@@127.0.0.1:@SRCPORT@>
User-Agent: peers-gen/1.0
Content-Type: text/plain
Content-Length: 41

hello hello hello hello hello hello hel
